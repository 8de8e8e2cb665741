"""What suits Arm's Ethos-U: enlargements that it maps, convolutions in forms that take fewer cycles there."""
