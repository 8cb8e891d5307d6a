"""The process `deployment`: its request, steps and undos, and the folders and apps that they change."""
