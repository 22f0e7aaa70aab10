import pytest
from django.contrib.auth import get_user_model

from ..models import Author, Blog
from ..queries import get_all_blogs

pytestmark = pytest.mark.redis


@pytest.mark.django_db(transaction=True)
def test_second_request_is_a_hit_without_a_query(api, blog, django_assert_num_queries):
    for url in ("/api/blogs/", f"/api/blogs/{blog.pk}/", "/api/authors/"):
        miss = api.get(url)
        with django_assert_num_queries(0):
            hit = api.get(url)

        assert miss.headers["Cache-Status"].endswith("; fwd=miss")
        assert hit.headers["Cache-Status"].endswith("; hit")
        assert hit.content == miss.content


def test_answers_to_different_queries_are_kept_apart(api, blog):
    everything = api.get("/api/blogs/")
    nothing = api.get("/api/blogs/?author=999")

    assert everything.json()["count"] == 1
    assert nothing.json()["count"] == 0


@pytest.mark.django_db(transaction=True)
def test_a_write_is_seen_by_the_next_read(api, editor, author):
    def titles():
        return [blog["title"] for blog in api.get("/api/blogs/").json()["results"]]

    blog = Blog.objects.create(author=author, title="First", body="")
    assert titles() == ["First"]

    editor.patch(f"/api/blogs/{blog.pk}/", {"title": "Changed"})
    assert titles() == ["Changed"]
    assert api.get(f"/api/blogs/{blog.pk}/").json()["title"] == "Changed"

    author.name = "Countess"
    author.save()
    assert api.get("/api/blogs/").json()["results"][0]["author_name"] == "Countess"

    author.delete()
    assert titles() == []
    assert api.get(f"/api/blogs/{blog.pk}/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_get_all_blogs_is_remembered_until_it_is_told_otherwise(django_assert_num_queries):
    author = Author.objects.create(name="Ada")
    assert get_all_blogs(author.pk) == []
    blog = Blog.objects.create(author=author, title="First", body="")

    with django_assert_num_queries(0):
        assert get_all_blogs(author.pk) == []

    get_all_blogs.invalidate(author.pk)
    assert get_all_blogs(author.pk) == [blog]


@pytest.mark.django_db(transaction=True)
def test_getting_a_user_again_makes_no_query(django_assert_num_queries):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)

    with django_assert_num_queries(0):
        assert users.get(pk=user.pk).username == "ada"

    user.username = "countess"
    user.save()
    assert users.get(pk=user.pk).username == "countess"
