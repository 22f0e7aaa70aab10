from rest_framework import serializers


class TokenSerializer(serializers.Serializer[dict[str, object]]):
    token = serializers.CharField(help_text="Shown once; only its hash is kept.")
    expiry = serializers.DateTimeField()
