"""What the tests share: running the tap, reading what it wrote, and what should land."""
