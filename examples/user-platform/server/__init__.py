"""The platform's server: com.example.User on roadstead.service."""
