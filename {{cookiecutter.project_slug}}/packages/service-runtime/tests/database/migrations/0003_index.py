from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shapes", "0002_weight")]
    atomic = False
    operations = [
        migrations.RunSQL("CREATE INDEX CONCURRENTLY parcel_weight ON parcel (weight)"),
        migrations.RunSQL("ALTER TABLE parcel ADD COLUMN height integer"),
    ]
