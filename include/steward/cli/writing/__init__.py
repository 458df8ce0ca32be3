"""Commands about what a team writes: specs, what they compile to, and the policy they are held to."""
