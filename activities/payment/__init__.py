"""The process `payment`: its request, steps and undos."""
