from django.contrib import admin

from .models import Author, Blog


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):
    search_fields = ["name"]


@admin.register(Blog)
class BlogAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "created_at"]
    list_select_related = ["author"]
    autocomplete_fields = ["author"]
    search_fields = ["title"]
