"""Commands about one candidate or version: made, taken further, made again."""
