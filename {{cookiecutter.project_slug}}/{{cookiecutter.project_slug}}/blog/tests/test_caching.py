from typing import Any

import pytest
from asgiref.sync import async_to_sync
from cacheops import cached, cached_as, invalidate_model, invalidate_obj, no_invalidation
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import connection, transaction
from django.urls import reverse

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


@pytest.fixture
def titles(api):
    """Return a function that gives the titles and authors of the list."""

    def titles():
        blogs = api.get("/api/blogs/").json()["results"]
        return sorted(f"{blog['title']} by {blog['author_name']}" for blog in blogs)

    return titles


WRITES = {
    "save": lambda blog: save(blog, title="New"),
    "save of some fields": lambda blog: save(blog, ["title"], title="New"),
    "create": lambda blog: Blog.objects.create(author=blog.author, title="New"),
    "update_or_create": lambda blog: Blog.objects.update_or_create({"title": "New"}, pk=blog.pk),
    "bulk_create": lambda blog: Blog.objects.bulk_create([Blog(author=blog.author, title="New")]),
    "bulk_create over what is there": lambda blog: Blog.objects.bulk_create(
        [Blog(pk=blog.pk, author=blog.author, title="New", created_at=blog.created_at)],
        update_conflicts=True,
        update_fields=["title"],
        unique_fields=["id"],
    ),
    "invalidated_update": lambda blog: invalidated_update(title="New"),
    "delete": lambda blog: blog.delete(),
    "delete of a queryset": lambda blog: Blog.objects.all().delete(),
    "save of the author": lambda blog: save(blog.author, name="New"),
    "cascading delete": lambda blog: blog.author.delete(),
    "add to a relation": lambda blog: blog.author.blogs.add(
        Blog(title="New", author=blog.author), bulk=False
    ),
    "raw SQL and invalidate_model": lambda blog: (execute_raw(), invalidate_model(Blog)),
    "raw SQL and invalidate_obj": lambda blog: (execute_raw(), invalidate_obj(blog)),
    "update": lambda blog: Blog.objects.update(title="New"),
    "aupdate": lambda blog: async_to_sync(Blog.objects.all().aupdate)(title="New"),
    "bulk_update": lambda blog: Blog.objects.bulk_update(
        [Blog(pk=blog.pk, title="New")], ["title"]
    ),
}


def save(instance, fields=None, **values):
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save(update_fields=fields)


def invalidated_update(**values):
    blogs: Any = Blog.objects  # which cacheops gives a method
    blogs.invalidated_update(**values)


def execute_raw():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE blog_blog SET title = 'New'")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_is_seen_by_the_next_read(api, titles, blog, write):
    pk, url = blog.pk, f"/api/blogs/{blog.pk}/"
    assert api.get(url).json()["title"] == "First"
    assert titles() == ["First by Ada"]

    write(blog)

    expected = [f"{found.title} by {found.author.name}" for found in Blog.objects.all()]
    assert titles() == sorted(expected) != ["First by Ada"]
    detail = api.get(url)
    found = Blog.objects.filter(pk=pk).first()
    assert (detail.status_code, detail.json().get("title")) == (
        (200, found.title) if found else (404, None)
    )


@pytest.mark.django_db(transaction=True)
def test_writes_that_say_nothing_are_not_seen(titles, blog):
    """As docs/caching.md says of them."""
    assert titles() == ["First by Ada"]

    execute_raw()
    with no_invalidation:
        Blog.objects.update(title="New")

    assert titles() == ["First by Ada"]


@pytest.mark.django_db(transaction=True)
def test_a_write_through_the_api_and_the_admin_is_seen(editor, titles, blog):
    assert titles() == ["First by Ada"]
    editor.patch(f"/api/blogs/{blog.pk}/", {"title": "Second"})
    assert titles() == ["Second by Ada"]

    form = {"author": blog.author_id, "title": "Third", "body": "Text"}
    url = reverse("admin:blog_blog_change", args=[blog.pk])
    assert editor.post(url, form, format="multipart").status_code == 302
    assert titles() == ["Third by Ada"]


@pytest.mark.django_db(transaction=True)
def test_a_group_s_permissions_are_seen(django_user_model):
    """A many-to-many relation, of models that are cached query by query."""
    user = django_user_model.objects.create_user("ada")
    group = Group.objects.create(name="editors")
    permission = Permission.objects.get(codename="change_blog")

    def is_allowed():
        return django_user_model.objects.get(pk=user.pk).has_perm("blog.change_blog")

    assert not is_allowed()
    user.groups.add(group)
    group.permissions.add(permission)
    assert is_allowed()
    group.permissions.remove(permission)
    assert not is_allowed()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_seen_by_others_when_it_is_committed(titles, blog, elsewhere):
    assert titles() == ["First by Ada"]

    with transaction.atomic():
        save(blog, title="New")
        assert elsewhere(titles) == ["First by Ada"]
        assert titles() == ["New by Ada"]

    assert titles() == ["New by Ada"]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_rolled_back_was_never_seen(titles, blog):
    @transaction.atomic
    def fail():
        save(blog, title="New")
        assert titles() == ["New by Ada"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert titles() == ["First by Ada"]


@pytest.mark.django_db(transaction=True)
def test_a_savepoint_that_is_rolled_back_takes_nothing_along(titles, blog):
    @transaction.atomic
    def fail():
        save(blog, title="Lost")
        raise ZeroDivisionError

    assert titles() == ["First by Ada"]
    with transaction.atomic():
        save(blog.author, name="Countess")
        with pytest.raises(ZeroDivisionError):
            fail()

    assert titles() == ["First by Countess"]


@pytest.mark.django_db(transaction=True)
def test_async_calls_of_the_orm(titles, blog, django_assert_num_queries):
    users = get_user_model().objects
    user = users.create_user("ada")

    @async_to_sync
    async def write():
        user.username = "countess"
        await user.asave()
        await Blog.objects.acreate(author=blog.author, title="New")

    @async_to_sync
    async def name():
        return (await users.aget(pk=user.pk)).username

    assert name() == "ada"
    with django_assert_num_queries(0):
        assert name() == "ada"
    assert titles() == ["First by Ada"]
    write()
    assert name() == "countess"
    assert titles() == ["First by Ada", "New by Ada"]


@pytest.mark.django_db(transaction=True)
def test_cacheops_own_decorators(blog, django_assert_num_queries):
    @cached_as(Blog)
    def count():
        return Blog.objects.count()

    @cached(timeout=60)
    def titles(author):  # as of a method, whose first argument is a model's instance too
        return [blog.title for blog in author.blogs.all()]

    assert (count(), titles(blog.author)) == (1, ["First"])
    with django_assert_num_queries(0):
        assert (count(), titles(blog.author)) == (1, ["First"])

    Blog.objects.create(author=blog.author, title="New")
    assert count() == 2
    assert titles(blog.author) == ["First"]
    titles.invalidate(blog.author)
    assert titles(blog.author) == ["New", "First"]


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
