"""The process `security_review`: its request, steps and scanners."""
