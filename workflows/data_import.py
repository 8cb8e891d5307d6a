"""Import data: check and profile a file, load it, let data stewards decide, and publish it as a whole."""

from datetime import timedelta

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.data_import.request import DataImportRequest
    from activities.data_import.steps import DataImports, Publication, Published, Staging
    from domain.case import CaseInput, CaseResult
    from domain.step import StepOptions
    from domain.wording import Words
    from workflows.engine.case import BEAT, CaseWorkflow

LONG = StepOptions(time_limit=timedelta(minutes=10))


@workflow.defn(name="data_import")
class DataImportProcess(CaseWorkflow):
    """Publish a new version of a dataset from a file.

    1. Check the file against its schema, profile the file, and compare the profile with the published version.
    2. Load the rows of the file as a version that readers cannot see yet; undone by removing the rows.
    3. Data stewards decide, and see the profile.
    4. Publish the new version in one transaction; undone by publishing the previous version.
    """

    @workflow.run
    async def run(self, case: CaseInput[DataImportRequest]) -> CaseResult:
        return await self.conduct(case, self.publish)

    async def publish(self, request: DataImportRequest) -> Published | None:
        profile = await self.step(DataImports.profile_file, request, heartbeat=BEAT, options=LONG)
        staging = Staging.of(request, profile)
        await self.step(DataImports.load_rows, staging, undo=DataImports.drop_rows, heartbeat=BEAT, options=LONG)
        await self.gate("publication", facts=profile)
        publication = Publication.of(request, profile)
        return await self.step(DataImports.publish_version, publication, undo=DataImports.restore_version)

    words = Words(
        summary="Publish a file of data as a new version of a dataset",
        title="Publish {file} as {dataset}",
        key_fields=("dataset", "file", "note"),
        labels={"dataset": "Dataset", "file": "File", "schema_file": "Schema", "note": "Note"},
        steps={
            "profile_file": "Check {file} and compare the file with the published {dataset}",
            "load_rows": "Load {file} into staging",
            "publish_version": "Publish the new version of {dataset}",
        },
        undos={
            "drop_rows": "Remove the staged rows of {file}",
            "restore_version": "Publish the previous version of {dataset}",
        },
        gates={"publication": "May {file} be published as {dataset}?"},
        nouns=("data import", "data imports"),
        done="Published {file} as {dataset}",
    )
