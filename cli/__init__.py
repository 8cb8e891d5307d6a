"""The command line `./holdgate`: each group of commands has a module, and `app` joins the groups."""
