"""Complete pipelines for each platform, out of the templates that adapters bring."""
