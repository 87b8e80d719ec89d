"""Captioners of a megabyte, trained from nothing, that caption coloured squares right."""
