import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from ..models import Author, Blog
from ..queries import get_all_blogs

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def test_the_second_request_is_a_hit_without_a_query(api, blog, django_assert_num_queries):
    for url in ("/api/blogs/", f"/api/blogs/{blog.pk}/", "/api/authors/"):
        miss = api.get(url)
        with django_assert_num_queries(0):
            hit = api.get(url)

        assert miss.headers["Cache-Status"].endswith("; fwd=miss")
        assert "; hit" in hit.headers["Cache-Status"]
        assert hit.content == miss.content


def test_responses_to_different_queries_are_cached_separately(api, blog):
    everything = api.get("/api/blogs/")
    nothing = api.get("/api/blogs/?author=999")

    assert everything.json()["count"] == 1
    assert nothing.json()["count"] == 0


def test_writes_through_the_api_and_the_admin_are_visible(api, editor, blog):
    def titles():
        blogs = api.get("/api/blogs/").json()["results"]
        return [f"{blog['title']} by {blog['author_name']}" for blog in blogs]

    assert titles() == ["First by Ada"]
    editor.patch(f"/api/blogs/{blog.pk}/", {"title": "Second"})
    assert titles() == ["Second by Ada"]

    form = {"author": blog.author_id, "title": "Third", "body": "Text"}
    url = reverse("admin:blog_blog_change", args=[blog.pk])
    assert editor.post(url, form, format="multipart").status_code == 302
    assert titles() == ["Third by Ada"]

    editor.patch(f"/api/authors/{blog.author_id}/", {"name": "Countess"})
    assert titles() == ["Third by Countess"]
    editor.delete(f"/api/authors/{blog.author_id}/")
    assert titles() == []


def test_get_all_blogs_is_cached_until_it_is_invalidated(django_assert_num_queries):
    author = Author.objects.create(name="Ada")
    assert get_all_blogs(author.pk) == []
    blog = Blog.objects.create(author=author, title="First", body="")

    with django_assert_num_queries(0):
        assert get_all_blogs(author.pk) == []

    get_all_blogs.invalidate(author.pk)
    assert get_all_blogs(author.pk) == [blog]


def test_getting_a_user_again_runs_no_query(django_assert_num_queries):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)

    with django_assert_num_queries(0):
        assert users.get(pk=user.pk).username == "ada"

    user.username = "countess"
    user.save()
    assert users.get(pk=user.pk).username == "countess"
