"""What the everyday episodes reach: lines of the hardware's description, and what the machine can do."""
