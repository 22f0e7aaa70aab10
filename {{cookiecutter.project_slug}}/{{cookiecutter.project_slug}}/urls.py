from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.utils.functional import lazy
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from service_runtime.api import problems
from service_runtime.api.root import ApiRoot
from service_runtime.ops.overview import LandingPage
from service_runtime.throttling import client_of_form, throttled

admin.site.site_header = admin.site.site_title = settings.SERVICE_TITLE

# Swagger UI creates inline styles. Its scripts are served from the sidecar package.
docs = csp_update({"style-src": [SELF, UNSAFE_INLINE]})(
    SpectacularSwaggerSplitView.as_view(url_name="schema")
)
# The admin's login shares the throttles of /api/token/: by address and by username.
login_form = throttled("login", clients={"login_username": client_of_form})(admin.site.login)
landing_page = LandingPage.as_view(
    template_name="index.html",
    extra_context={"title": settings.SERVICE_TITLE, "description": settings.SERVICE_DESCRIPTION},
)
# For pages without an icon of their own, such as the admin's.
favicon = RedirectView.as_view(url=lazy(static, str)("favicon.svg"))

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.not_found
handler500 = problems.server_error

urlpatterns = [
    path("", landing_page, name="index"),
    path("favicon.ico", favicon),
    # Overrides the admin's own. The browsable API looks the name up.
    path("admin/login/", include(([path("", login_form, name="login")], "rest_framework"))),
    path("admin/", admin.site.urls),
    path("api/", ApiRoot.as_view(), name="api-root"),
    path("api/", include("{{ cookiecutter.project_slug }}.users.urls")),
{%- if cookiecutter.example_app == "yes" %}
    path("api/", include("{{ cookiecutter.project_slug }}.blog.urls")),
{%- endif %}
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", docs, name="docs"),
]
