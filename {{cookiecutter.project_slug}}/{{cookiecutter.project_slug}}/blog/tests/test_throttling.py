from ...runtime.throttling.throttles import ScopedRateThrottle


def test_views_that_name_a_scope_share_its_limit(api, blog, monkeypatch):
    monkeypatch.setitem(ScopedRateThrottle.THROTTLE_RATES, "blog_limit", "2/hour")

    assert api.get("/api/blogs/").status_code == 200
    assert api.get(f"/api/blogs/{blog.pk}/").status_code == 200
    for url in ("/api/blogs/", f"/api/blogs/{blog.pk}/"):
        assert api.get(url).status_code == 429
    assert api.get("/api/authors/").status_code == 200
