"""`check`: is a network fed as it was trained?"""
