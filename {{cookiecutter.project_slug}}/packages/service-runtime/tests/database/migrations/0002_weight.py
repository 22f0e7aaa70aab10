from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shapes", "0001_initial")]
    operations = [migrations.RunSQL("ALTER TABLE parcel ADD COLUMN weight integer")]
