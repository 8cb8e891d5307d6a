"""What those need who add a process: a skeleton to start from, a check that nothing is missing, a house to test in."""
