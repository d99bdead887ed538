"""The service: pictures and films over HTTP in, emotions and explanations out."""
