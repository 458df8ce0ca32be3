"""What a version saw in training, kept small: the counts every served window is compared with."""
