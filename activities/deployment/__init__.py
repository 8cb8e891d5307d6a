"""The process `deployment`: its request, steps and undos, and their receivers."""
