"""The reproduction: a folder a study, a file a figure."""
