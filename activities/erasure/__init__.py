"""The process `erasure`: its request and steps."""
