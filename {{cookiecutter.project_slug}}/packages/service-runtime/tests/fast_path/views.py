"""Public, shared and private views, each of which counts its calls."""

import itertools
import threading

from django.contrib.auth.models import Group
from django.urls import path
from rest_framework.exceptions import Throttled
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from service_runtime.caching.responses import cached_response
from service_runtime.throttling import AnonRateThrottle, ScopedRateThrottle

calls = itertools.count()
links = ["<next>"]
compute = threading.Event()
compute.set()


class GroupSerializer(ModelSerializer):
    class Meta:
        model = Group
        fields = ["id", "name"]


class Groups(ListAPIView):
    queryset = Group.objects.order_by("pk")
    serializer_class = GroupSerializer
    throttle_classes = [ScopedRateThrottle, AnonRateThrottle]
    throttle_scope = "groups"

    @cached_response(Group, public=True)
    def list(self, request, *args, **kwargs):
        next(calls)
        return super().list(request, *args, **kwargs)


class GroupDetail(RetrieveAPIView):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "groups"

    @cached_response(lambda view: Group.objects.filter(pk=view.kwargs["pk"]), public=True)
    def retrieve(self, request, *args, **kwargs):
        next(calls)
        return super().retrieve(request, *args, **kwargs)


class Unthrottled(GenericAPIView):
    queryset = Group.objects.all()
    permission_classes = [AllowAny]
    authentication_classes = []

    @cached_response(Group, public=True)
    def get(self, request):
        return Response({"groups": Group.objects.count()}, headers={"Link": links[-1]})


class Slow(GenericAPIView):
    queryset = Group.objects.all()

    @cached_response(Group, public=True, stale=30)
    def get(self, request):
        compute.wait(20)
        return Response({"groups": Group.objects.count()})


class Polite(Groups):
    def throttled(self, request, wait):
        if "X-Polite" in request.headers:
            raise Throttled(detail="Please!")
        super().throttled(request, wait)


class Shared(GenericAPIView):
    queryset = Group.objects.all()

    @cached_response(Group, shared=True)
    def get(self, request):
        return Response({"groups": Group.objects.count()})


class Own(GenericAPIView):
    queryset = Group.objects.all()

    @cached_response(Group)
    def get(self, request):
        return Response({"authenticated": request.user.is_authenticated})


class GroupSet(ReadOnlyModelViewSet):
    queryset = Group.objects.order_by("pk")
    serializer_class = GroupSerializer
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = {"list": "set", "retrieve": ["set", "groups"]}

    @cached_response(Group, public=True)
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)


urlpatterns = [
    path("api/groups/", Groups.as_view()),
    path("api/groups/<int:pk>/", GroupDetail.as_view()),
    path("api/unthrottled/", Unthrottled.as_view()),
    path("api/slow/", Slow.as_view()),
    path("api/polite/", Polite.as_view()),
    path("api/shared/", Shared.as_view()),
    path("api/own/", Own.as_view()),
    path("api/set/", GroupSet.as_view({"get": "list"})),
    path("api/set/<int:pk>/", GroupSet.as_view({"get": "retrieve"})),
]
