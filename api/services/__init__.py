"""Work that JSON routes and pages share."""
