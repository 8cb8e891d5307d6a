"""The process `data_import`: its request, steps and undos."""
