"""The command line `./holdgate`: one file for each group of commands; `app` puts them together."""
