"""A view that could treat an anonymous read differently is never skipped, and a check names it."""

import itertools
import re
from typing import Any

import pytest
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.test import Client
from django.urls import path
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.authentication import BaseAuthentication, RemoteUserAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle as StockThrottle
from rest_framework.versioning import AcceptHeaderVersioning, BaseVersioning
from rest_framework.views import APIView
from rest_framework.viewsets import ReadOnlyModelViewSet

from service_runtime.caching.responses import cached_response
from service_runtime.fast_path.eligibility import obstacles
from service_runtime.throttling import AnonRateThrottle, ScopedRateThrottle, UserRateThrottle
from tests.fast_path.responses import is_fast
from tests.fast_path.views import Groups, GroupSerializer

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


numbers = itertools.count()


def deny(request):
    if "X-Deny" in request.headers:
        raise PermissionDenied


class Public(GenericAPIView):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer

    @cached_response(Group, public=True)
    def get(self, request):
        return Response({})


class Deny(BasePermission):
    def has_permission(self, request, view):
        deny(request)
        return True


class Reject(BaseAuthentication):
    def authenticate(self, request):
        deny(request)


class Negotiation(DefaultContentNegotiation):
    def select_renderer(self, request, renderers, format_suffix=None):
        deny(request)
        return super().select_renderer(request, renderers, format_suffix)


class Versioning(BaseVersioning):
    def determine_version(self, request, *args, **kwargs):
        deny(request)


class ByHeader(ScopedRateThrottle):
    def get_client(self, request, view):
        deny(request)
        return super().get_client(request, view)


class Counted(AnonRateThrottle):
    scope = "groups"

    def allow_request(self, request, view):
        deny(request)
        return super().allow_request(request, view)


class Ident(AnonRateThrottle):
    scope = "groups"

    def get_ident(self, request):
        deny(request)
        return "x"


class Stock(StockThrottle):
    THROTTLE_RATES = {"groups": "100/hour"}


class Burst(UserRateThrottle):
    scope = "burst"


class OwnRate(AnonRateThrottle):
    rate = "3/hour"


class Rate(AnonRateThrottle):
    rate = property(lambda self: "3/hour")


class ByTime(AnonRateThrottle):
    def __init__(self):
        self.rate = "3/hour"


class Shorter(AnonRateThrottle):
    scope = "groups"

    def wait(self):
        return super().wait() and 1


class Own(ScopedRateThrottle):
    scope_attr = "own_scope"


class OwnScope(Public):
    throttle_classes = [Own]

    @property
    def own_scope(self):
        deny(self.request)
        return "groups"


class Policies(Public):
    @property
    def throttle_classes(self):  # type: ignore[override]
        deny(self.request)
        return [AnonRateThrottle]


class Tenant(Public):
    @classmethod
    def as_view(cls, tenant, **options):  # type: ignore[override]
        return super().as_view(**options)


class Registered(Public):
    def __init_subclass__(cls, *, name, **options):
        super().__init_subclass__(**options)


class Named(Registered, name="named"):
    """Its subclasses need an argument."""


class Stamped(Public):
    @property
    def default_response_headers(self):
        return {"X-Number": str(next(numbers))}


class List(ListAPIView):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer

    def list(self, request, *args, **kwargs):
        deny(request)
        return self.retrieve(request)

    @cached_response(Group, public=True)
    def retrieve(self, request):
        return Response({})


class Initial(Public):
    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        deny(request)


class Handler(Public):
    def get(self, request):
        deny(request)
        return super().get(request)


def guarded(function):
    def wrapper(self, request):
        deny(request)
        return function(self, request)

    wrapper.__dict__.update(vars(function))
    return wrapper


class Decorated(Public):
    get = guarded(Public.get)


class Head(Public):
    def head(self, request):
        deny(request)
        return self.get(request)


class Set(ReadOnlyModelViewSet):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer

    @cached_response(Group, public=True)
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)


class GuardedSet(Set):
    def list(self, request, *args, **kwargs):
        deny(request)
        return super().list(request, *args, **kwargs)


class Scope(Public):
    throttle_classes = [ScopedRateThrottle]

    @property
    def throttle_scope(self):
        deny(self.request)
        return "groups"


class Callback(Public):
    @classmethod
    def as_view(cls, **options):
        view = super().as_view(**options)

        def guarded_view(request, *args, **kwargs):
            deny(request)
            return view(request, *args, **kwargs)

        guarded_view.__dict__.update(vars(view))
        return guarded_view


def view(*, of: Any = Public, **attributes: Any) -> Any:
    return type("View", (of,), {"__module__": __name__, **attributes}).as_view()  # type: ignore[attr-defined]


@extend_schema_view(list=extend_schema(description="All."))
class Documented(Set):
    """Its wrapper of `list` only carries the schema."""


@extend_schema_view(get=extend_schema(description="All."))
class DocumentedGroups(Groups):
    """Its wrapper of `get` only carries the schema."""


ELIGIBLE = {
    "plain": Public.as_view(),
    "list of a viewset": Set.as_view({"get": "list"}),
    "documented": Documented.as_view({"get": "list"}),
    "documented list": DocumentedGroups.as_view(),
    "detail of that viewset": Set.as_view({"get": "retrieve"}),
    "version by Accept": view(versioning_class=AcceptHeaderVersioning),
    "subclass with arguments": Named.as_view(),
    "scope of a subclass": view(throttle_classes=[Burst, OwnRate]),
}
OBSTACLES = {
    "permission": (view(permission_classes=[Deny]), "its permission Deny can deny"),
    "initkwargs": (Public.as_view(permission_classes=[Deny]), "its permission Deny can deny"),
    "composed": (
        view(permission_classes=[Deny | IsAuthenticated]),
        "its permission .* can deny an anonymous read",
    ),
    "authentication": (view(authentication_classes=[Reject]), "its Reject can read other cred"),
    "remote user": (
        view(authentication_classes=[RemoteUserAuthentication]),
        "its RemoteUserAuthentication can read other cred",
    ),
    "negotiation": (view(content_negotiation_class=Negotiation), "it uses Negotiation"),
    "versioning": (view(versioning_class=Versioning), "it uses Versioning"),
    "client": (view(throttle_classes=[ByHeader], throttle_scope="groups"), "its throttle ByHeader"),
    "allow_request": (view(throttle_classes=[Counted]), "its throttle Counted counts"),
    "get_ident": (view(throttle_classes=[Ident]), "its throttle Ident counts"),
    "rate": (view(throttle_classes=[Rate]), "its throttle Rate counts"),
    "stock": (view(throttle_classes=[Stock], throttle_scope="groups"), "its throttle Stock counts"),
    "scope": (Scope.as_view(), "its throttle_scope is computed"),
    "rate of an instance": (view(throttle_classes=[ByTime]), "its throttle ByTime counts"),
    "wait": (view(throttle_classes=[Shorter]), "its throttle Shorter counts"),
    "own scope": (OwnScope.as_view(), "its own_scope is computed"),
    "policies": (Policies.as_view(), "its throttle_classes is computed"),
    "arguments": (Tenant.as_view("a"), "it overrides as_view"),
    "headers": (Stamped.as_view(), "it overrides default_response_headers"),
    "list": (List.as_view(), r"its list\(\) does something before"),
    "initial": (Initial.as_view(), "it overrides initial"),
    "handler": (Handler.as_view(), r"its get\(\) does something before"),
    "decorated": (Decorated.as_view(), r"its get\(\) does something before"),
    "viewset": (GuardedSet.as_view({"get": "list"}), r"its list\(\) does something before"),
    "as_view": (Callback.as_view(), "it overrides as_view"),
    "login_required": (login_required(Public.as_view()), "decorated in the URL configuration"),
    "dispatch": (view(dispatch=method_decorator(login_required)(Public.dispatch)), "overrides dis"),
    "APIView": (view(of=APIView, permission_classes=[Deny], get=Public.get), "its permission Deny"),
}
# They are not public themselves.
OVERRIDES = {"handler", "viewset", "list"}
urlpatterns = [
    *(path(f"eligible/{name}/", view) for name, view in ELIGIBLE.items()),
    *(path(f"obstacle/{name}/", view) for name, (view, _) in OBSTACLES.items()),
    path("head/", Head.as_view()),
]


@pytest.fixture(autouse=True)
def _project(settings, set_rates):
    settings.ROOT_URLCONF = __name__
    set_rates(groups="100/hour", burst="100/hour", anon="100/hour")


@pytest.mark.parametrize("name", ELIGIBLE)
def test_eligible_views(client, name):
    assert obstacles(ELIGIBLE[name], "GET") == [] or name.startswith("detail")
    if not name.startswith("detail"):
        client.get(f"/eligible/{name}/")
        assert is_fast(client.get(f"/eligible/{name}/"))


@pytest.mark.parametrize("name", OBSTACLES)
def test_other_views_are_called_each_time(client, name):
    if name in {"login_required", "dispatch"}:
        assert [client.get(f"/obstacle/{name}/").status_code for _ in range(3)] == [302] * 3
        return
    responses = [client.get(f"/obstacle/{name}/") for _ in range(3)]
    assert [response.status_code for response in responses] == [200] * 3
    assert not any(map(is_fast, responses))


def test_plain_views_are_not_eligible():
    assert obstacles(lambda request: None, "GET") == ["it is not a view of Django REST framework"]


def test_head_of_its_own_is_called(client):
    client.get("/head/")
    assert is_fast(client.get("/head/"))
    assert not any(is_fast(client.head("/head/")) for _ in range(3))


def test_check_names_each_obstacle():
    found = {error.msg for error in run_checks(tags=["caching"]) if error.id == "caching.E007"}

    for name, (_, message) in OBSTACLES.items():
        texts = [text for text in found if text.startswith(f"/obstacle/{name}/ ")]
        if name in OVERRIDES:
            assert texts == []
        else:
            assert re.search(message, "".join(texts)), (name, texts)
    assert not [text for text in found if text.startswith("/eligible/")]


@pytest.mark.parametrize("hook", ["THROTTLING_GET_CLIENT", "THROTTLING_GET_TIER"])
def test_hooks_of_the_project_see_each_request(client, settings, hook):
    setattr(settings, hook, f"{__name__}.hook")
    assert not any(is_fast(client.get("/eligible/plain/")) for _ in range(3))


def hook(request):
    return None


def test_unknown_middleware_below_disables_the_fast_path(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Blocking"]
    client = Client()
    client.get("/eligible/plain/")
    assert not is_fast(client.get("/eligible/plain/"))
    assert client.get("/eligible/plain/", headers={"X-Deny": "1"}).status_code == 403
    [warning] = [each for each in run_checks(tags=["caching"]) if each.id == "caching.W001"]
    assert f"{__name__}.Blocking" in warning.msg

    settings.FAST_PATH_MIDDLEWARE = [f"{__name__}.Blocking"]
    client = Client()
    client.get("/eligible/plain/")
    assert is_fast(client.get("/eligible/plain/"))


def test_check_needs_the_middleware(settings):
    settings.MIDDLEWARE = [f"{__name__}.Blocking"]
    assert not [each for each in run_checks(tags=["caching"]) if each.id == "caching.W001"]


def test_middleware_above_runs_for_each_request(settings):
    settings.MIDDLEWARE = [f"{__name__}.Blocking", *settings.MIDDLEWARE]
    client = Client()
    client.get("/eligible/plain/")
    assert is_fast(client.get("/eligible/plain/"))
    assert client.get("/eligible/plain/", headers={"X-Deny": "1"}).status_code == 403


class Blocking:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        if "X-Deny" in request.headers:
            response.status_code = 403
        return response


def test_public_response_cannot_vary():
    with pytest.raises(TypeError, match=r"cannot have vary_on: use shared=True"):
        cached_response(Group, public=True, vary_on="X-Tenant")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda view: Group.objects.filter(name=view.request.GET["name"]), "reads view.request"),
        (lambda view: Group.objects.filter(pk=Group.objects.get().pk), "queries the database"),
    ],
)
def test_dependencies_use_the_url_only(client, settings, caplog, function, message):
    class Dependent(Public):
        @cached_response(function, public=True)
        def get(self, request):
            return Response({})

    Group.objects.create(name="a")
    urlpatterns.append(path("dependent/", Dependent.as_view()))
    settings.ROOT_URLCONF = __name__
    responses = [client.get("/dependent/?name=a") for _ in range(3)]
    urlpatterns.pop()

    assert [response.status_code for response in responses] == [200] * 3
    assert not any("Cache-Status" in response.headers for response in responses)
    assert message in caplog.text
