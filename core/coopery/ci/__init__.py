"""What CI platforms have in common: revisions, tags and labels, settings, the report, and the way to builds."""
