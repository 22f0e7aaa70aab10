import itertools

import pytest
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template.response import SimpleTemplateResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone, translation
from prometheus_client import REGISTRY
from rest_framework.authentication import BaseAuthentication
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from service_runtime.caching.pages import public_page
from service_runtime.caching.responses import cached_response
from service_runtime.throttling import ScopedRateThrottle

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
calls = itertools.count()


class Own(APIView):
    """A response per user."""

    permission_classes = [AllowAny]

    @cached_response(Group)
    def get(self, request):
        return Response({"user": request.user.get_username(), "call": next(calls)})

    @cached_response(Group)
    def post(self, request):
        return Response({"call": next(calls)})


class Shared(APIView):
    """One response for all users who are signed in."""

    permission_classes = [IsAuthenticated]
    renderer_classes = [JSONRenderer, BrowsableAPIRenderer]

    @cached_response(Group, shared=True, vary_on=lambda request: request.headers.get("X-Tenant"))
    def get(self, request):
        return Response({"groups": Group.objects.count(), "call": next(calls)})


class OwnedByAda(BasePermission):
    def has_object_permission(self, request, view, thing):
        return request.user.get_username() == "ada"


class Mistaken(APIView):
    """A response that is shared by mistake: it depends on the user."""

    permission_classes = [OwnedByAda]

    @cached_response(Group, shared=True)
    def get(self, request, reads):
        return Response({
            "user": lambda: str(request.user),
            "Django's user": lambda: request._request.user.pk,
            "session": lambda: request.session.get("cart"),
            "auth": lambda: bool(request.auth),
            "object": lambda: self.check_object_permissions(request, object()),
            "filter": lambda: get_user_model().objects.filter(username=request.user).exists(),
        }[reads]())  # fmt: skip


class Throttled(APIView):
    permission_classes = [AllowAny]
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "scope"

    @cached_response(Group, shared=True)
    def get(self, request):
        return Response({})


class Uncacheable(APIView):
    permission_classes = [AllowAny]

    @cached_response(Group, shared=True)
    def get(self, request, kind):
        response = Response({"call": next(calls)}, status=203 if kind == "status" else 200)
        if kind == "cookie":
            response.set_cookie("a", "b")
        if kind == "no-store":
            response["Cache-Control"] = "No-Store"
        if kind == "vary":
            response["Vary"] = "X-Tenant"
        if kind == "csrf":
            response.data["token"] = get_token(request._request)
        if kind == "stream":
            return StreamingHttpResponse([str(next(calls))])
        return response


class Cart(APIView):
    """A response that depends on the session."""

    permission_classes = [AllowAny]

    @cached_response(Group)
    def get(self, request):
        if add := request.query_params.get("add"):
            request.session["cart"] = add
        return Response({"cart": request.session.get("cart")})


class Device:
    is_authenticated = True
    pk = 1


class Headers(BaseAuthentication):
    """Authenticates as users without rows, and as an object that is not a user."""

    def authenticate(self, request):
        if "X-Device" in request.headers:
            return Device(), None
        if "X-User-Id" in request.headers:
            return get_user_model()(pk=1), None
        if name := request.headers.get("X-User"):
            return get_user_model()(username=name), None
        return None


class StatelessView(APIView):
    authentication_classes = [Headers]
    permission_classes = [AllowAny]

    @cached_response(Group)
    def get(self, request):
        user = request.user
        return Response({"user": getattr(user, "username", ""), "kind": type(user).__name__})


class Groups(APIView):
    permission_classes = [AllowAny]

    @cached_response(lambda view: Group.objects.filter(pk=view.kwargs["pk"]), shared=True)
    def get(self, request, pk):
        return Response({"name": get_object_or_404(Group, pk=pk).name})


class Files(APIView):
    permission_classes = [AllowAny]

    @cached_response(Group, shared=True)
    def get(self, request, path):
        return Response({"path": path + "/"})


class Set(ViewSet):
    permission_classes = [AllowAny]

    @cached_response(lambda view: Group.objects.filter(pk=view.kwargs["pk"]))
    def retrieve(self, request, pk):
        return Response({"call": next(calls)}, headers={"Link": "<next>", "Cache-Control": "x"})


class Template(SimpleTemplateResponse):
    """A response that is rendered after its view has returned."""

    @property
    def rendered_content(self):
        return str(next(calls))


def page(request, kind="plain"):
    if kind == "session":
        request.session.get("cart")
    if kind == "user":
        return HttpResponse(f"{request.user} {next(calls)}")
    if kind == "csrf":
        get_token(request)
    if kind == "nonce":
        return HttpResponse(f"{request.csp_nonce} {next(calls)}")
    if kind == "template":
        return Template("index.html")
    if kind == "messages":
        messages.success(request, "Thanks, Ada!")
    headers = {
        "vary": {"Vary": "Accept-Encoding, X-Tenant"},
        "compressible": {"Vary": "Accept-Encoding"},
        "encoded": {"Content-Encoding": "gzip"},
        "private": {"Cache-Control": "private"},
    }
    status = 404 if kind == "status" else 200
    response = HttpResponse(str(next(calls)), status=status, headers=headers.get(kind))
    if kind == "cookie":
        response.set_cookie("a", "b")
    return response


urlpatterns = [
    path("own/", Own.as_view()),
    path("shared/", Shared.as_view()),
    path("mistaken/<reads>/", Mistaken.as_view()),
    path("throttled/", Throttled.as_view()),
    path("uncacheable/<kind>/", Uncacheable.as_view()),
    path("set/<int:pk>/", Set.as_view({"get": "retrieve"})),
    path("cart/", Cart.as_view()),
    path("stateless/", StatelessView.as_view()),
    path("groups/<pk>/", Groups.as_view()),
    path("files/<path:path>/", Files.as_view()),
    path("page/", public_page(Group)(page)),
    path("page/<kind>/", public_page(timeout=60)(page)),
]


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = __name__


def is_cached(client, url, **headers):
    """Return whether the second of two requests is served from the cache."""
    bodies = [client.get(url, headers=headers).getvalue() for _ in range(2)]
    return bodies[0] == bodies[1]


def test_cached_response_is_never_served_to_another_user(client_of):
    for names in itertools.permutations(["ada", "grace", None]):
        Group.objects.create(name=f"{names}")  # invalidates all responses
        clients = {name: client_of(name) for name in names}
        found = {name: client.get("/own/").json() for name, client in clients.items()}

        assert {name: body["user"] for name, body in found.items()} == {
            name: name or "" for name in names
        }
        assert {name: client.get("/own/").json() for name, client in clients.items()} == found


def test_cache_control_of_shared_and_private_responses(client_of):
    own = client_of("ada").get("/own/")
    shared = client_of("ada").get("/shared/")

    assert own.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(own.headers["Vary"].split(", "))
    assert shared.headers["Cache-Control"] == "no-cache"
    assert "" not in [name.strip() for name in shared.headers["Vary"].split(",")]


def test_shared_response_is_served_to_permitted_users_only(client_of):
    responses = [client_of(name).get("/shared/") for name in ("ada", "grace")]

    assert responses[0].content == responses[1].content
    statuses = [response.headers["Cache-Status"].partition("; ")[2] for response in responses]
    assert statuses == ["fwd=miss", "hit"]
    assert client_of().get("/shared/").status_code == 401


@pytest.mark.parametrize("reads", ["user", "Django's user", "session", "auth", "object", "filter"])
def test_shared_response_cannot_read_the_user_or_the_session(client_of, reads):
    client = client_of("ada")

    with pytest.raises(ImproperlyConfigured, match=r"Mistaken\.get is a cached_response with"):
        client.get(f"/mistaken/{reads}/")


@pytest.fixture
def _languages(settings):
    """Make Django read USE_I18N again."""
    settings.USE_I18N = True
    chosen = vars(translation)["_trans"].__dict__
    chosen.clear()
    yield
    chosen.clear()


@pytest.mark.usefixtures("_languages")
def test_factors_of_the_key(client_of, settings):
    client = client_of("ada")

    def fetch(query="", host="testserver", language="en", zone="UTC", **headers):
        with translation.override(language), timezone.override(zone):
            return client.get(f"/shared/{query}", headers=headers, SERVER_NAME=host).json()["call"]

    settings.ALLOWED_HOSTS = ["*"]
    different = [
        {},
        {"query": "?a=1"},
        {"query": "?a=2"},
        {"host": "other"},
        {"language": "de"},
        {"zone": "Europe/Berlin"},
        {"X-Tenant": "a"},
    ]
    first = [fetch(**how) for how in different]

    assert len(set(first)) == len(different)
    assert [fetch(**how) for how in different] == first


def test_browsable_api_is_never_cached(client_of):
    for name in ("ada", "grace"):
        body = client_of(name).get("/shared/", headers={"Accept": "text/html"}).content.decode()
        assert name in body


def test_conditional_request(client_of):
    client = client_of()
    etag = client.get("/own/").headers["ETag"]

    unchanged = client.get("/own/", headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == etag
    assert unchanged.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in unchanged.headers["Vary"]
    assert client.get("/own/", headers={"If-None-Match": '"other"'}).status_code == 200

    Group.objects.create(name="a")
    changed = client.get("/own/", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag


def test_head_has_a_separate_cached_response(client_of):
    client = client_of()
    etag = client.get("/set/1/").headers["ETag"]
    heads = [client.head("/own/") for _ in range(2)]

    assert heads[0].headers["ETag"] == heads[1].headers["ETag"] != etag
    assert heads[1].headers["Cache-Status"].endswith("; hit")
    assert heads[1].content == b""


@pytest.mark.parametrize("name", [None, "ada"])
def test_sessions_have_separate_responses(client_of, name):
    clients = [client_of(name) for _ in range(2)]
    for number, client in enumerate(clients):
        client.get("/cart/", {"add": number})

    assert [client.get("/cart/").json() for client in clients] == [{"cart": "0"}, {"cart": "1"}]


def test_users_without_a_primary_key_do_not_share_responses(client_of):
    names = [
        client_of().get("/stateless/", headers={"X-User": name}).json()["user"]
        for name in ("ada", "grace", "")
    ]

    assert names == ["ada", "grace", ""]


def test_user_classes_with_equal_primary_keys_do_not_share_responses(client_of):
    for header in ("X-Device", "X-User-Id"):
        body = client_of().get("/stateless/", headers={header: "1"}).json()
        assert body["kind"] == ("Device" if header == "X-Device" else "User")


@pytest.mark.parametrize("pk", ["abc", "9" * 40])
def test_invalid_primary_key_is_not_found(client_of, pk):
    assert client_of().get(f"/groups/{pk}/").status_code == 404


@pytest.mark.parametrize("path", ["/files/secret/../b/", "/files/b/", "/files//b/"])
def test_similar_paths_have_separate_responses(client_of, path):
    for other in ("/files/secret/../b/", "/files/b/", "/files//b/"):
        client_of().get(other)

    assert client_of().get(path).json()["path"] == path.removeprefix("/files/")


def test_other_methods_are_not_cached(client_of):
    client = client_of()

    assert client.post("/own/").content != client.post("/own/").content


@pytest.mark.parametrize("kind", ["status", "cookie", "no-store", "stream", "vary", "csrf"])
def test_uncacheable_responses_are_not_cached(client_of, kind):
    assert not is_cached(client_of(), f"/uncacheable/{kind}/")


def test_headers_are_cached_with_the_response(client_of):
    client = client_of()
    responses = [client.get("/set/1/") for _ in range(2)]

    assert responses[0].content == responses[1].content
    assert [response.headers["Link"] for response in responses] == ["<next>", "<next>"]
    assert [response.headers["Cache-Control"] for response in responses] == ["x", "x"]


def test_throttle_counts_hits(client_of, set_rates):
    set_rates(scope="2/hour")
    client = client_of()

    assert [client.get("/throttled/").status_code for _ in range(3)] == [200, 200, 429]


def test_dependencies_are_required():
    with pytest.raises(TypeError, match="needs the models"):
        cached_response()
    with pytest.raises(TypeError, match="needs models, or a timeout"):
        public_page()


def test_public_page_is_cached_until_its_models_change():
    client = Client()
    first = client.get("/page/")
    second = client.get("/page/")

    assert second.content == first.content
    assert second.headers["Cache-Status"].endswith("; hit")
    assert client.get("/page/", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    Group.objects.create(name="a")
    assert client.get("/page/").content != first.content


@pytest.mark.parametrize("kind", ["template", "plain", "compressible"])
def test_public_page_with_a_timeout_needs_no_models(kind):
    assert is_cached(Client(), f"/page/{kind}/")


@pytest.mark.parametrize(
    "kind",
    [
        "session",
        "user",
        "csrf",
        "nonce",
        "status",
        "cookie",
        "vary",
        "private",
        "encoded",
        "messages",
    ],
)
def test_personal_page_is_not_cached(kind):
    assert not is_cached(Client(), f"/page/{kind}/")


def test_identified_visitor_bypasses_the_cache(client_of):
    cached = Client().get("/page/").content
    signed_in = client_of("ada")
    with_token = Client(headers={"Authorization": "Token x"})
    with_form, with_message = Client(), Client()
    with_form.cookies["csrftoken"] = "x" * 32
    with_message.cookies["messages"] = "x"

    for client in (signed_in, with_token, with_form, with_message):
        assert client.get("/page/").content != cached
        assert not is_cached(client, "/page/")
    assert Client().get("/page/").content == cached


def test_decorated_view_has_its_original_name():
    assert public_page(Group)(page).__name__ == "page"
    assert Own.get.__name__ == "get"


def test_function_that_is_not_a_handler_is_rejected():
    @cached_response(Group)
    def view(request):
        return HttpResponse()

    with pytest.raises(TypeError, match=r"view is a cached_response, but not a REST framework"):
        view(RequestFactory().get("/"))


def test_response_without_a_content_type_stays_without_one():
    @public_page(Group)
    def view(request):
        response = HttpResponse(b"")
        del response["Content-Type"]
        return response

    responses = [view(RequestFactory().get("/no-type/")) for _ in range(2)]

    assert responses[1].headers["Cache-Status"].endswith("; hit")
    assert [response.has_header("Content-Type") for response in responses] == [False, False]


def test_outcomes_are_counted(client_of):
    def count(outcome):
        labels = {"cache": "responses", "outcome": outcome}
        return REGISTRY.get_sample_value("cache_requests_total", labels) or 0

    before = {outcome: count(outcome) for outcome in ("miss", "hit", "bypass")}
    for url in ("/set/1/", "/set/1/", "/uncacheable/status/"):
        client_of().get(url)

    assert {outcome: count(outcome) - before[outcome] for outcome in before} == {
        "miss": 1,
        "hit": 1,
        "bypass": 1,
    }


def test_private_response_is_never_stale():
    with pytest.raises(TypeError, match="stale needs shared=True"):
        cached_response(Group, stale=30)
