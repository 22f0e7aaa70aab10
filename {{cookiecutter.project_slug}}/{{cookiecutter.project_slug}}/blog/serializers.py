from rest_framework import serializers

from .models import Author, Blog


class AuthorSerializer(serializers.ModelSerializer[Author]):
    class Meta:
        model = Author
        fields = ["id", "name"]


class BlogSerializer(serializers.ModelSerializer[Blog]):
    author_name = serializers.CharField(source="author.name", read_only=True)

    class Meta:
        model = Blog
        fields = ["id", "title", "body", "author", "author_name", "created_at", "updated_at"]
