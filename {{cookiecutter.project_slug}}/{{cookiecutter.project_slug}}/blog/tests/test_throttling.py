def test_views_that_name_a_scope_share_its_limit(api, blog, set_rates):
    set_rates(blog_limit="2/hour", author_limit="2/hour")

    assert api.get("/api/blogs/").status_code == 200
    assert api.get(f"/api/blogs/{blog.pk}/").status_code == 200
    for url in ("/api/blogs/", f"/api/blogs/{blog.pk}/"):
        assert api.get(url).status_code == 429
    assert api.get("/api/authors/").status_code == 200


def test_cache_hits_count(api, blog, set_rates):
    set_rates(blog_limit="2/hour")

    responses = [api.get("/api/blogs/") for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
