"""The version of the client and of the service that it was made with."""

VERSION = "0.2.0"
