"""Single sign-on with an identity provider (OpenID Connect).

`provider.py` talks to the provider, `tokens.py` checks what the provider signed, and `claims.py` reads what it says
about a person. `single_sign_on.py` is what routes and pages call.
"""
