"""SCIM 2.0: an identity provider creates people, deactivates them, and sets the members of groups."""
