from django.apps import AppConfig


class BlogConfig(AppConfig):
    name = "{{ cookiecutter.project_slug }}.blog"
