//! The words around names, and the words that are none. Lower case, without apostrophes, parted by white space.

pub(super) const TITLES: &str =
    "dr mr mrs ms miss mx prof professor doctor rev reverend sgt capt lt col judge hon sr. mme sir fr";

pub(super) const CREDENTIALS: &str = "md do rn np pa pa-c phd pharmd dds dmd lcsw lpn fnp crna msw dpm dpt ot pt od aprn fnp-bc rph \
                           psyd mbbs facp facs cnm lmft rd cna lpc ccc-slp esq dnp cns aprn-bc acnp rdn mph ms bsn msn";

pub(super) const PARTICLES: &str =
    "de la del della der den van von di da dos das du le el al bin ibn ben st ter ten y e af av zu";

pub(super) const ROLES: &str = "patient name pt attending physician provider surgeon subscriber guarantor caller spouse husband wife \
    daughter son mother father brother sister partner guardian parent nurse therapist radiologist pathologist author \
    contact kin member insured client resident beneficiary witness interpreter caregiver aunt uncle niece nephew cousin \
    grandmother grandfather grandson granddaughter friend neighbor neighbour roommate driver passenger sincerely regards \
    thanks dear hi hello hey by pcp consultant anesthesiologist cardiologist oncologist resident intern fellow recipient \
    sender attn applicant employee participant subject signature signed clinician prescriber cc mom dad fiance fiancee \
    girlfriend boyfriend stepson stepdaughter sibling alias aka nee maiden surname firstname lastname fullname \
    patientname user for from with called named per operator reviewer respectfully cordially yours its im am \
    is holder policyholder cardholder payee payer beneficiaries requested assistant hygienist dentist midwife tech \
    technician pharmacist";

/// Roles that a name follows even if nobody has heard it.
pub(super) const RELATIONS: &str = "spouse husband wife daughter son mother father brother sister aunt uncle niece nephew cousin \
    grandmother grandfather grandson granddaughter fiance fiancee girlfriend boyfriend stepson stepdaughter";

/// Roles that anything may follow: what comes then has to be known.
pub(super) const WEAK_ROLES: &str = "name by user for from with called named per operator is its im am thanks hi hello hey cc \
    driver passenger resident member client subject contact participant applicant recipient sender requested employee \
    holder payer regards tech intern fellow provider author alias aka";

/// What follows a name that is an institution, an eponym or a street.
pub(super) const INSTITUTIONS: &str = "hospital clinic center centre university medical college health pharmacy institute foundation \
    disease syndrome catheter palsy sign test criteria fracture tumor tumour cell cells stain scale score classification \
    procedure operation maneuver ring node lymphoma sarcoma phenomenon reflex reaction index method position bodies body \
    duct tube drain clamp retractor county street road avenue lane drive laboratory laboratories labs school system \
    insurance plan cross shield group inc llc ltd corp corporation co company associates bank church university memorial general regional childrens thyroiditis \
    dementia contracture esophagus ulcer monitor virus spots triad law curve formula equation stage grade model study \
    protocol trial stockings position sling traction boot splint brace collar needle forceps";

/// Words that a place follows, behind a preposition.
pub(super) const HOMES: &str = "lives living lived resides residing resident born raised moved relocated native";

pub(super) const STATE_NAMES: &[&str] = &[
    "Alabama",
    "Alaska",
    "Arizona",
    "Arkansas",
    "California",
    "Colorado",
    "Connecticut",
    "Delaware",
    "Florida",
    "Georgia",
    "Hawaii",
    "Idaho",
    "Illinois",
    "Indiana",
    "Iowa",
    "Kansas",
    "Kentucky",
    "Louisiana",
    "Maine",
    "Maryland",
    "Massachusetts",
    "Michigan",
    "Minnesota",
    "Mississippi",
    "Missouri",
    "Montana",
    "Nebraska",
    "Nevada",
    "Ohio",
    "Oklahoma",
    "Oregon",
    "Pennsylvania",
    "Tennessee",
    "Texas",
    "Utah",
    "Vermont",
    "Virginia",
    "Washington",
    "Wisconsin",
    "Wyoming",
];

pub(super) const COUNTRIES: &str = "America Canada Mexico China India Japan Korea Vietnam Nigeria Ghana Kenya Russia Ukraine Poland \
                         Germany France Italy Spain Brazil Iran Iraq Egypt Israel Haiti Cuba Jamaica England Ireland";

/// Words that are capitalised in clinical and technical texts and are no names.
pub(super) const STOPS: &str = "the this that these those a an and or but if then else when while with without within for from of on in \
    at to by as is are was were be been being has have had do does did will would should could may might must can cannot \
    not no yes he she it they we you i his her hers its their our your my me him them us who whom whose which what where \
    why how all any both each few more most other some such only own same so than too very just also there here now \
    patient patients pt mrn dob ssn npi dea phone fax tel email address date time name id ids number no acct account \
    admitted discharged discharge admission attending history assessment plan subjective objective exam examination \
    findings impression comparison indication technique results result labs lab vitals vital signs medications \
    medication allergies allergy diagnosis diagnoses procedure procedures follow followup note notes progress summary \
    report record records radiology pathology clinic hospital center department emergency er ed icu or unit room bed \
    floor provider physician nurse doctor member subscriber insurance medicare medicaid claim claims policy group payer \
    provider benefit benefits explanation received billed allowed payment paid card charged bank routing mail questions \
    question telephone encounter caller callback verified portal link page study protocol dose ratio class dicom order \
    set revision complete guideline update adults aged section lot saline catalogue catalog image dictated workstation \
    device serial home monitor fingerprint template facial photo implant vehicle vin license plate passport scene gcs \
    monday tuesday wednesday thursday friday saturday sunday january february march april june july august september \
    october november december jan feb mar apr jun jul aug sep sept oct nov dec am pm est pst utc gmt mg ml mcg kg lb bp \
    hr rr spo2 temp bmi wbc rbc hgb hct plt inr egfr icd cpt loinc snomed rxnorm ndc hcpcs npo prn bid tid qid qd po iv im \
    sc rtc roi hipaa phi pcp hpi pmh psh fh sh ros cc hx dx rx tx sx fx s/p status active inactive pending final normal \
    abnormal positive negative left right bilateral upper lower chest abdomen pelvis head neck spine brain heart lung \
    lungs liver kidney skin blood urine pain fever cough denies reports states presents admits type diabetes mellitus \
    hypertension asthma copd cancer stroke acute chronic mild moderate severe metformin lisinopril insulin aspirin \
    atorvastatin amlodipine albuterol warfarin heparin tylenol ibuprofen acetaminophen gabapentin prednisone omeprazole \
    creatinine glucose hemoglobin sodium potassium calcium platelets info warn warning error debug trace fatal detail \
    hint context select insert update delete where key value values null true false http https get post put patch \
    version build code session user auth ok failed success retry server client host port method content accept \
    good thank thanks please see seen sincerely regards dear hello hi hey re subject sent message attached new old male \
    female sex race ethnicity gender white black hispanic asian married single widowed divorced age year years month \
    months week weeks day days hour hours minute minutes today tomorrow yesterday street avenue road drive lane court \
    boulevard suite apt apartment county city state zip country north south east west united states america usa us \
    english spanish french german chinese language interpreter needed spouse wife husband son daughter mother father \
    brother sister parent guardian contact relationship self emergency primary secondary next kin signed signature \
    electronically reviewed approved authorized released copy original form page end start begin first last middle \
    results emailed called mailed sent returned given taken started stopped continued increased decreased changed held \
    after before during since until because due however therefore although though about above below between into through \
    over under again further once additional general family social surgical medical past present current recent recently \
    records fax office work cell mobile hl7 fhir json xml csv sql api url ip mac udi imei uuid test sample example \
    explanation visit visits appointment appointments schedule scheduled location service services provider care health \
    blue bluecross blueshield cross shield aetna cigna humana united kaiser anthem visa mastercard amex discover \
    full short long none unknown other various several many much great well sure okay let lets dont im its ive";
