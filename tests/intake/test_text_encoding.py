"""Files that are not UTF-8: their encoding is detected, reported as doubtful, or named by the sender."""

import pytest
from hypothesis import given, settings, strategies as st

from intake.invalid_rows import bad_rows
from intake.mapping.column_mapping import ColumnMapping, WrongMapping
from intake.mapping.mapping_choice import target_of
from intake.read_file import read_file
from intake.tables.table import UnreadableFile
from intake.tables.text_encoding import NAMES, text_of
from workflows.registry import PROCESSES

TARGET = target_of(PROCESSES["payment"])
USUAL = {"account": "operating", "currency": "GBP"}
FOUND = [
    ("ООО Ромашка", "cp1251", "Windows-1251"),
    ("ТОВ Київстар", "cp1251", "Windows-1251"),
    ("ООО Ромашка", "koi8-r", "KOI8-R"),
    ("ООО Ромашка", "cp866", "IBM866"),
    ("株式会社山田商事", "shift_jis", "Shift-JIS"),
    ("トヨタ自動車", "shift_jis", "Shift-JIS"),
    ("トヨタ自動車", "euc_jp", "EUC-JP"),
    ("トヨタ自動車", "iso2022_jp", "ISO-2022-JP"),
    ("北京科技有限公司", "gb18030", "GB18030"),
    ("台灣電力公司", "big5", "Big5"),
    ("삼성전자 주식회사", "euc_kr", "EUC-KR"),
    ("Łódzkie Zakłady Spółka Wiśniewski", "cp1250", "Windows-1250"),
    ("Dvořák a Šťastný", "cp1250", "Windows-1250"),
    ("Παπαδόπουλος ΑΕ", "cp1253", "Windows-1253"),
    ("Güneş İnşaat Şirketi", "cp1254", "Windows-1254"),
    ("شركة النور", "cp1256", "Windows-1256"),
    ("Müller & Söhne GmbH", "cp1252", "Windows-1252"),
    ("Société Générale “Fête” à Nîmes", "cp1252", "Windows-1252"),
    ("São João Distribuição", "cp1252", "Windows-1252"),
    ("Åkerlund & Rausing Malmö", "cp1252", "Windows-1252"),
    ("Sønderborg Kommune Ærø", "cp1252", "Windows-1252"),
    ("Bäckerij Brød", "cp1252", "Windows-1252"),
    ("NESTLÉ’S £5 – the “Café”", "cp1252", "Windows-1252"),
]


@pytest.mark.parametrize(("payee", "codec", "name"), FOUND)
@pytest.mark.parametrize("rows", [1, 60])
def test_the_encoding_of_a_file_is_found(payee: str, codec: str, name: str, rows: int) -> None:
    text = "Invoice No,Supplier,Amount\n" + "".join(f"{n},{payee},12.50\n" for n in range(rows))
    sheet = read_file(text.encode(codec), TARGET, None, lambda: USUAL)
    assert {getattr(row.input, "payee", None) for row in sheet.rows} == {payee}
    assert sheet.format.encoding == name


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "payee", ["ООО Ромашка", "株式会社山田商事", "북경 주식회사", "Ελληνική", "شركة النور", "Müller"]
)
@pytest.mark.parametrize(
    "headings", ["Номер документа;Получатель;Сумма", "請求書番号;支払先;金額", "Invoice No;Supplier;Amount"]
)
def test_utf_16_without_a_byte_order_mark_is_found(headings: str, payee: str, codec: str) -> None:
    data = f"{headings}\n1;{payee};12,50\n".encode(codec)
    sheet = read_file(data, TARGET, None, lambda: USUAL)
    assert [getattr(row.input, "payee", row.errors) for row in sheet.rows] == [payee]
    assert sheet.format.encoding == "UTF-16"


@pytest.mark.parametrize("data", [b"a,b\0c\n1,2\n", b"\0\0\0\0", b"a\0b,c\n" * 9, bytes(range(256)) * 4])
def test_nul_bytes_alone_make_no_utf_16(data: bytes) -> None:
    with pytest.raises(UnreadableFile):
        text_of(data)


def test_the_last_line_counts_for_the_encoding_as_well() -> None:
    text = "Fatura No;Tedarikçi;Tutar;Para Birimi\n1;Şişli Gıda A.Ş.;1.250,00;TRY\n"
    assert text_of(text.encode("cp1254")).text == text


@pytest.mark.parametrize("codec", ["cp850", "mac_roman"])
def test_an_encoding_that_few_use_is_never_taken_without_a_word(codec: str) -> None:
    text = "Invoice No;Supplier;Amount\n1;Crêperie Noël à Besançon;12,50\n"
    assert "uncertain" in text_of(text.encode(codec)).doubt


@pytest.mark.parametrize(("payee", "codec"), [("חברת החשמל", "cp1255"), ("Muñoz", "cp1252"), ("Müller", "cp850")])
def test_a_file_that_fits_two_encodings_is_shown_in_both(payee: str, codec: str) -> None:
    data = f"Invoice No,Supplier,Amount\n1,{payee},12.50\n".encode(codec)
    (note,) = [note for note in read_file(data, TARGET, None, lambda: USUAL).notes if "uncertain" in note]
    assert payee in note or codec == "cp1255"


@pytest.mark.parametrize("name", ["windows-1251", "Windows-1251", "cp1251"])
def test_an_encoding_can_be_named(name: str) -> None:
    data = "Invoice No,Supplier,Amount\n1,Рога,12.50\n2,,1\n".encode("cp1251")
    given_ = ColumnMapping(encoding=name)
    sheet = read_file(data, TARGET, given_, lambda: USUAL)
    assert next(iter(sheet.rows)).input is not None and sheet.format.encoding == "Windows-1251"
    assert sheet.mapping is not None and sheet.mapping.encoding == name
    again = read_file(data, TARGET, sheet.mapping)
    assert list(again.rows) == list(sheet.rows)
    assert "Рога" in bad_rows(data, {2: "x"}, sheet.format.model_dump(mode="json"))


def test_a_named_encoding_counts_for_a_file_with_our_headings_too() -> None:
    data = "reference,payee,amount,currency,account\n1,Рога,12.50,GBP,x\n".encode("koi8-r")
    sheet = read_file(data, TARGET, ColumnMapping(encoding="KOI8-R"))
    assert [getattr(row.input, "payee", None) for row in sheet.rows] == ["Рога"]
    assert sheet.mapping == ColumnMapping(encoding="KOI8-R")


def test_an_encoding_that_does_not_fit_is_refused_by_its_key() -> None:
    with pytest.raises(WrongMapping) as wrong:
        read_file("a,é\n".encode("cp1252"), TARGET, ColumnMapping(encoding="UTF-8"))
    assert [(each.column, each.message) for each in wrong.value.problems] == [
        ("encoding", "the file is not UTF-8: line 1 has bytes that this encoding lacks")
    ]
    with pytest.raises(ValueError, match=r"'martian' is not a known encoding\. Known encodings: UTF-8"):
        ColumnMapping(encoding="martian")
    for odd in ("idna", "unicode_escape", "rot13", "hex", "utf-7"):
        with pytest.raises(ValueError, match="is not a"):
            ColumnMapping(encoding=odd)


@settings(max_examples=60)  # the machine may be busy
@given(st.binary(min_size=1, max_size=80), st.sampled_from(["", *NAMES.values()]))
def test_any_bytes_are_text_or_a_refusal(data: bytes, name: str) -> None:
    try:
        assert isinstance(text_of(b"a," + data, name).text, str)
    except UnreadableFile as refused:
        assert str(refused)
