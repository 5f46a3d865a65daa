"""The figures of Zhang and Pilanci (2024), and what they share."""
