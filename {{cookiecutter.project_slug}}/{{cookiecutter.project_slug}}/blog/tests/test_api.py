import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator
from rest_framework.validators import UniqueValidator

from ..models import Author, Blog


def create_blogs(number: int) -> None:
    """Create blogs of as many authors."""
    authors = Author.objects.bulk_create(Author(name=f"Author {n}") for n in range(number))
    Blog.objects.bulk_create(Blog(author=author, title="Title", body="") for author in authors)


def test_the_list_is_paginated_and_starts_with_the_newest(api, author):
    for number in range(21):
        Blog.objects.create(author=author, title=f"Blog {number}", body="")

    first = api.get("/api/blogs/").json()
    second = api.get(first["next"]).json()

    assert first["count"] == 21
    assert [blog["title"] for blog in first["results"]] == [f"Blog {n}" for n in range(20, 0, -1)]
    assert [blog["title"] for blog in second["results"]] == ["Blog 0"]


def test_the_list_can_be_filtered_by_author(api, blog):
    other = Blog.objects.create(author=Author.objects.create(name="Grace"), title="B", body="")

    page = api.get("/api/blogs/", {"author": other.author_id}).json()

    assert [found["id"] for found in page["results"]] == [other.pk]


@pytest.mark.parametrize("rows", [1, 20])
@pytest.mark.parametrize("url", ["/api/blogs/", "/api/authors/"])
def test_a_list_takes_a_query_to_count_and_one_for_its_rows(
    api, db, django_assert_num_queries, url, rows
):
    create_blogs(rows)

    with django_assert_num_queries(2):
        page = api.get(url).json()

    assert len(page["results"]) == rows


@pytest.mark.parametrize("author_id", ["x", "-1", "1.5", "", "\u0663", "9" * 30])
def test_an_invalid_author_id_is_a_400_that_names_the_parameter(api, db, author_id):
    response = api.get("/api/blogs/", {"author": author_id})

    assert response.status_code == 400
    assert response.json() == {"author": f"{author_id!r} is not the ID of an author."}


def test_detail(api, blog, django_assert_num_queries):
    with django_assert_num_queries(1):
        response = api.get(f"/api/blogs/{blog.pk}/")

    assert response.status_code == 200
    expected = {"id": blog.pk, "title": "First", "author_name": "Ada"}
    assert response.json().items() >= expected.items()
    assert api.get(f"/api/blogs/{blog.pk + 1}/").status_code == 404


def test_create_update_and_delete(editor, author):
    created = editor.post("/api/blogs/", {"author": author.pk, "title": "New", "body": "Text"})
    url = f"/api/blogs/{created.json()['id']}/"

    assert created.status_code == 201
    assert editor.patch(url, {"title": "Newer"}).json()["title"] == "Newer"
    assert editor.get(url).json()["title"] == "Newer"
    assert editor.delete(url).status_code == 204
    assert editor.get(url).status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_writing_requires_permission(api, blog, method):
    url = "/api/blogs/" if method == "post" else f"/api/blogs/{blog.pk}/"
    body = {"author": blog.author_id, "title": "Changed", "body": ""}

    assert getattr(api, method)(url, body).status_code == 401
    api.force_authenticate(get_user_model().objects.create_user("reader"))
    assert getattr(api, method)(url, body).status_code == 403
    blog.refresh_from_db()
    assert blog.title == "First"
    assert Blog.objects.count() == 1


def test_authors(api, editor):
    created = editor.post("/api/authors/", {"name": "Grace"})

    assert created.status_code == 201
    assert [author["name"] for author in api.get("/api/authors/").json()["results"]] == ["Grace"]
    assert api.get(f"/api/authors/{created.json()['id']}/").json()["name"] == "Grace"


def test_example_blogs_are_loaded_once(db, capsys):
    call_command("load_blogs")
    call_command("load_blogs")

    assert Blog.objects.count() == 6
    assert capsys.readouterr().out == "Loaded 6 blogs.\nBlogs exist already.\n"


@pytest.mark.parametrize("page", ["blog_blog", "blog_author"])
def test_admin_pages(editor, blog, page):
    assert editor.get(reverse(f"admin:{page}_changelist")).status_code == 200
    assert editor.get(reverse(f"admin:{page}_add")).status_code == 200


@pytest.mark.parametrize("page", ["blog_blog", "blog_author"])
def test_an_admin_list_takes_no_more_queries_for_many_rows_than_for_one(
    editor, blog, django_assert_max_num_queries, page
):
    url = reverse(f"admin:{page}_changelist")
    with CaptureQueriesContext(connection) as for_one:
        editor.get(url)
    create_blogs(19)

    with django_assert_max_num_queries(len(for_one)):
        editor.get(url)


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/api/blogs/", "get", "200 400 401 404 406 429 503"),
        ("/api/blogs/", "post", "201 400 401 403 406 409 415 429 503"),
        ("/api/blogs/{id}/", "get", "200 401 404 406 429 503"),
        ("/api/blogs/{id}/", "put", "200 400 401 403 404 406 409 415 429 503"),
        ("/api/blogs/{id}/", "delete", "204 401 403 404 406 429 503"),
        ("/api/authors/", "get", "200 401 404 406 429 503"),
        ("/api/token/", "post", "200 400 406 415 429 503"),
        ("/api/token/", "delete", "204 401 406 429 503"),
    ],
)
def test_the_schema_declares_every_status(path, method, statuses):
    operation = SchemaGenerator().get_schema(public=True)["paths"][path][method]

    responses = operation["responses"]
    assert " ".join(responses) == statuses
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} == set(responses["429"]["headers"])
    assert set(responses["503"]["headers"]) == {"Retry-After"}
    assert "401" not in responses or set(responses["401"]["headers"]) == {"WWW-Authenticate"}
    assert ({} in operation.get("security", [{}])) is (method == "get" or "401" not in responses)


def test_each_operation_has_its_own_description():
    for path, operations in SchemaGenerator().get_schema(public=True)["paths"].items():
        descriptions = [operation["description"] for operation in operations.values()]
        assert len(set(descriptions)) == len(descriptions), path


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("media_type", ["application/json", "application/problem+json"])
def test_a_name_taken_by_a_concurrent_request_is_a_conflict(editor, monkeypatch, media_type):
    """Both requests validate before either writes."""
    monkeypatch.setattr(UniqueValidator, "__call__", lambda *args: None)
    data, headers = {"name": "Ada"}, {"Accept": f"{media_type}, application/json"}
    responses = [editor.post("/api/authors/", data, headers=headers) for _ in range(2)]

    assert [response.status_code for response in responses] == [201, 409]
    assert responses[1].headers["Content-Type"] == media_type
    assert responses[1].json()["detail"].startswith("The request conflicts with")
