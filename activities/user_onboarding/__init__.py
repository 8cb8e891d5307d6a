"""The process `user_onboarding`: its request, steps and undos."""
