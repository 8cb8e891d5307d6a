"""The process `approval`: its request."""
