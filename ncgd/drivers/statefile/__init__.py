"""What ncgd remembers on disk. See README.md."""
