"""What the pages in the browser ask for, as dicts that become JSON, and what they change; knows nothing of the host."""
