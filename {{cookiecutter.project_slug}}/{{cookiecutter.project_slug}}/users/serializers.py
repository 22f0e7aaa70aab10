from rest_framework import serializers


class TokenSerializer(serializers.Serializer[dict[str, object]]):
    token = serializers.CharField(help_text="Shown once; only its hash is stored.")
    expiry = serializers.DateTimeField()
