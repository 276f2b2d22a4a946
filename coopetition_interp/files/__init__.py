"""Files of strangers, read without harm; files of our own, written whole or not at all."""
