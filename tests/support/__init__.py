"""What tests share: the hospital that every test drives first."""
