# paper: the tables and figures of both papers, theirs and ours side by side.


rule write_paper:
    input:
        replay=if_replayed(
            "results/evaluate/replay.json",
            "results/evaluate/replay_best.png",
            "results/evaluate/replay_worst.png",
            "results/evaluate/replay_paper.json",
        ),
        parts=[getattr(rules, part).input for part in PAPER_PARTS],
        splats=expand("results/splat/{model}/splat.json", model=MODELS),
        extracts=expand("results/extract/{tool}/{file}", tool=TOOLS, file=["extract.json", "extract.png"]),
    output:
        page="results/paper/report.html",
        table="results/paper/tables.csv",
        text="results/paper/tables.txt",
    log:
        "results/logs/write_paper.log",
    params:
        parts=PAPER_PARTS,
        phantom=set(SCENES) <= set(PHANTOM_NAMES),
        restyled=RESTYLED[0] if "restyle" in PAPER_PARTS else "",
        tools=TOOLS,
        models=list(MODELS),
        settings=CONFIG.model_dump(mode="json"),
        config=settings("paper"),
        seed=CONFIG.seed,
        config_digest=settings_digest(CONFIG.model_dump(mode="json")),
        code=script_digest("write_paper"),
    message:
        "Setting both papers' tables and figures beside ours"
    script:
        "../scripts/write_paper.py"


# Both papers' tables beside ours: results/paper/report.html, and on the terminal when all is done.
rule paper:
    input:
        text="results/paper/tables.txt",
        page="results/paper/report.html",
        report="results/report.html",
    log:
        "results/logs/paper.log",
    message:
        "Both papers' tables beside ours; more in {input.page}"
    shell:
        "tee {log:q} < {input.text:q}"
